"""Tables, and questions about them.

| module                     | holds                                                             |
| -------------------------- | ----------------------------------------------------------------- |
| `table`, `rendering`       | a table with typed columns; how it is written into a prompt       |
| `themes`, `facts`, `folder`| where tables come from: drawn, typed or packaged facts, CSV files |
| `view`, `templates`        | what can be asked of a table, with the answer computed by pandas  |
| `questions`                | questions drawn over a stream of tables, level by level           |
"""
