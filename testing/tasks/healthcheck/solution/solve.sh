#!/bin/bash
set -e
[ -e /tmp/second ]
echo healthy > /app/state
