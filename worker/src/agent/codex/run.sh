# Runs codex, then prints the two lines of its session log that its own output leaves out: how far the account's
# limits are used up, and the class of the failure.
"$@"
code=$?
ls -t "$HOME"/.codex/sessions/*/*/*/rollout-*.jsonl 2> /dev/null | head -n 1 | while IFS= read -r log; do
    grep '"type":"token_count"' "$log" | tail -n 1
    grep '"type":"task_complete"' "$log" | tail -n 1
done
exit "$code"
