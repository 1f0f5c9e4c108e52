# Named steps with their seconds. Sourced by the scripts, which set `trap step_failed EXIT` or call it
# from a trap of their own.

step_text= step_started=

# now: milliseconds since the epoch.
now() {
  local seconds=${EPOCHREALTIME%[.,]*} micros=${EPOCHREALTIME#*[.,]}
  echo $((seconds * 1000 + 10#$micros / 1000))
}

# seconds_since START: "12.3 s".
seconds_since() {
  local milliseconds=$(($(now) - $1))
  printf '%d.%d s' $((milliseconds / 1000)) $((milliseconds % 1000 / 100))
}

# step TEXT COMMAND...: runs the command and prints how long it took. The command is not part of a
# condition here, so that `set -e` holds inside of it: its failure ends the script.
step() {
  step_text=$1 step_started=$(now)
  shift
  printf '==> %s\n' "$step_text"
  "$@"
  printf '<== %s: %s\n' "$step_text" "$(seconds_since "$step_started")"
  step_text=
}

# step_failed: names the step that ended the script, where one did.
step_failed() {
  [[ -z $step_text ]] ||
    printf '<== %s: FAILED after %s\n' "$step_text" "$(seconds_since "$step_started")" >&2
}
