#!/usr/bin/env bash
# Runs the Dockerfile's build stage, step by step as written there, in an empty folder, and then the
# program it would start. It shows that the steps work where no container engine is; it makes no image.
set -euo pipefail
project=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# The image's Node is 24; here that is the project's own.
export PATH="$project/node_modules/node/bin:$PATH"
cd "$folder"
stage=0
while IFS= read -r line; do
  case "$line" in
    FROM*) stage=$((stage + 1)) ;;
    'COPY --from'*) ;;
    COPY*)
      [ "$stage" -eq 1 ] || continue
      read -r -a words <<<"${line#COPY }"
      target=${words[-1]}
      for source in "${words[@]:0:${#words[@]}-1}"; do cp -r "$project/$source" "$target"; done
      ;;
    RUN*)
      [ "$stage" -eq 1 ] || continue
      echo "image step: ${line#RUN }"
      bash -c "${line#RUN }" >step.log 2>&1 || { cat step.log; exit 1; }
      ;;
  esac
done <"$project/Dockerfile"

[ ! -e node_modules/typescript ] || { echo 'image steps: development packages were left in'; exit 1; }
chmod -R a-w dist
node dist/cli/main.js --help >/dev/null
echo 'image steps: passed'
