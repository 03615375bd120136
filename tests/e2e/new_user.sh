# What a new user types, in a folder of their own, with rlconf installed from its wheel.
set -eu

# Twenty questions of their own.
cat > sums.csv <<'CSV'
question,total
0+1=,1
0+2=,2
0+3=,3
0+4=,4
1+1=,2
1+2=,3
1+3=,4
1+4=,5
2+1=,3
2+2=,4
2+3=,5
2+4=,6
3+1=,4
3+2=,5
3+3=,6
3+4=,7
4+1=,5
4+2=,6
4+3=,7
4+4=,8
CSV

# A reward of their own, in fifteen lines.
cat > near.py <<'PYTHON'
# A near miss earns something.
from rlconf import reward


@reward("near", range=(0.0, 1.0))
def near(completions, answer, reach: float = 4.0):
    """1 for the right number, falling to 0 at `reach` from it; 0 for anything else."""
    scores = []
    for text, gold in zip(completions, answer, strict=True):
        digits = text.strip()
        if digits.isdecimal():
            scores.append(max(0.0, 1 - abs(int(digits) - int(gold)) / reach))
        else:
            scores.append(0.0)
    return scores
PYTHON

mine="plugins=[near.py]"

# Train five steps on them.
rlconf train "$mine" 'reward=[near]' name=sums \
  task=file task.path=sums.csv task.prompt_column=question task.answer_column=total \
  task.dev_size=2 task.test_size=4 task.max_completion_tokens=3 model.tiny.warm_steps=40 \
  trainer.max_steps=5 trainer.per_device_train_batch_size=8 trainer.num_generations=4

# Look at it, measure it again, compare it with where it began, give it away.
rlconf report runs/latest --out report.html
rlconf evaluate runs/latest "$mine" evaluate.samples=16 --name more --json more.json
rlconf compare runs/latest/evaluations/after.json runs/latest/evaluations/before.json
rlconf export runs/latest --to my-model

# The receiver has transformers and nothing else.
python - <<'PYTHON'
import sys

from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("my-model")
model = AutoModelForCausalLM.from_pretrained("my-model")
batch = tokenizer(["3+4="], return_tensors="pt", return_token_type_ids=False)
answer = model.generate(**batch, max_new_tokens=2)
print("3+4=", tokenizer.decode(answer[0, batch["input_ids"].shape[1] :]))
assert not {"rlconf", "trainers", "rewards", "data", "trl"} & set(sys.modules)
PYTHON
