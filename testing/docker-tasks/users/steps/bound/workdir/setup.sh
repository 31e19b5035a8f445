#!/bin/bash
set -e
[ "$(id -u)" = 1234 ]
echo more >> owned/mine
