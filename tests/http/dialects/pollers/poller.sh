#!/usr/bin/env bash
# Polls a task as CloudCoin's page does it with curl and jq: poller.sh URL ID SECONDS
# Knows no status code, follows no redirect, leaves the answer unquoted, and goes on until payload.status says stop.

while true; do
  # shellcheck disable=SC2086
  ANSWER=$(curl -s "$1/api/v1/tasks/$2")
  STATUS=$(echo $ANSWER | jq -r '.payload.status')
  echo "$STATUS $(echo $ANSWER | jq -r '.payload.progress')% $(echo $ANSWER | jq -r '.payload.message')"
  if [ "$STATUS" == "completed" ]; then
    echo "result $(echo $ANSWER | jq -c '.payload.data')"
    break
  elif [ "$STATUS" == "error" ]; then
    break
  fi
  sleep "$3"
done
