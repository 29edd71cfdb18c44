# Runs gemini with these settings in its own home: some have no argument.
mkdir -p "$HOME/.gemini" || exit
printf '%s\n' "$1" > "$HOME/.gemini/settings.json" || exit
shift
exec "$@"
