"""Published benchmarks of questions about tables, in the layout in which they are published.

| name      | read from a folder                                       | level                |
| --------- | -------------------------------------------------------- | -------------------- |
| `wtq`     | WikiTableQuestions: data/*.tsv, tagged/data, csv         | 0                    |
| `tabfact` | TabFact: tokenized_data/*.json, data/all_csv             | 0                    |
| `hitab`   | HiTab: data/*_samples.jsonl, data/tables/raw             | aggregations         |
| `finqa`   | FinQA: dataset/*.json                                    | steps of the program |
| `tabmwp`  | TabMWP: data/tabmwp/problems_*.json                      | grade                |

A file or a hub id instead of a folder is read as rows with a question, an answer and a table each.
None of them is shipped: their licences are their own.
"""

from data.tasks.table_benchmarks.read import BENCHMARKS, read_benchmark

__all__ = ["BENCHMARKS", "read_benchmark"]
