#!/bin/sh
echo "$GREETING" > /entered
exec "$@"
