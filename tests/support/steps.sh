# Named steps with their seconds. Sourced by the scripts; defines functions only.

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

# step TEXT COMMAND...: runs the command, then prints how long it took; its failure is the step's.
step() {
  local text=$1 started status=0
  shift
  started=$(now)
  printf '==> %s\n' "$text"
  "$@" || status=$?
  if ((status == 0)); then
    printf '<== %s: %s\n' "$text" "$(seconds_since "$started")"
  else
    printf '<== %s: FAILED with status %d after %s\n' "$text" "$status" "$(seconds_since "$started")"
  fi
  return "$status"
}
