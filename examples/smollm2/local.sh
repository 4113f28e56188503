#!/usr/bin/env bash
# The smollm2 study without the hub, sized for a CPU: about two minutes a trial on two cores.
#
#   examples/smollm2/local.sh FOLDER MODEL DATA [options of lamdagent run]
#   COMMAND=report examples/smollm2/local.sh FOLDER MODEL DATA      opens the sealed test of the same study
#
# MODEL: SmolLM2-135M-Instruct as a .gguf file or a Hugging Face folder. DATA: a folder with
#   svamp/train.jsonl, svamp/test.jsonl          question, answer
#   arc_easy/train.jsonl, validation.jsonl, test.jsonl       question, choices (list), answer (index)
#   bfcl/simple.jsonl                            question, functions, ground_truth (Berkeley Function Calling)
set -euo pipefail
folder=$1 model=$(realpath "$2") data=$(realpath "$3")
shift 3
[ -e "$folder/study.yaml" ] || lamdagent init "$folder" --template smollm2

question='"Question: {{question}}\nAnswer:"'
request='"Function: {{functions[0].name}}({{functions[0].parameters.properties | join(\", \")}})\nRequest: {{question}}\nCall:"'
call='{{(ground_truth[0] | list)[0]}}({% for k, v in (ground_truth[0].values() | list)[0].items() if \"\" not in v %}{{k}}={{v[0] | tojson}}{{\", \" if not loop.last}}{% endfor %})'

lamdagent "${COMMAND:-run}" "$folder/study.yaml" \
  --set "models.base.path=$model" \
  --set "datasets.math={path: $data/svamp/train.jsonl, limit: 320, columns: {prompt: $question, completion: \" {{answer}}\"}}" \
  --set "datasets.science={path: $data/arc_easy/train.jsonl, limit: 320, columns: {prompt: $question, completion: \" {{choices[answer]}}\"}}" \
  --set "datasets.tools={path: $data/bfcl/simple.jsonl, split: 'train[:280]', columns: {prompt: $request, completion: \" $call\"}}" \
  --set "tasks.math={task: math, path: $data/svamp/train.jsonl, split: 'train[2000:]', test: $data/svamp/test.jsonl, limit: 60, metric: number, max_new_tokens: 6, until: [\"\n\"], columns: {prompt: $question, answer: answer}}" \
  --set "tasks.arc_easy={task: arc_easy, path: $data/arc_easy/validation.jsonl, test: $data/arc_easy/test.jsonl, limit: 60, metric: acc, target_delimiter: ' ', columns: {prompt: $question, choices: choices, answer: answer}}" \
  --set "tasks.tools={task: tools, path: $data/bfcl/simple.jsonl, split: 'train[280:340]', test: 'train[340:]', limit: 60, metric: exact_match, max_new_tokens: 40, until: [\"\n\"], columns: {prompt: $request, answer: \"$call\"}}" \
  --set contamination=drop --set budget.trials=14 "$@"
