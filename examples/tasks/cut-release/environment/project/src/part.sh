#!/bin/sh
# Part of greet 1.4.2 or later.
echo "Goodbye, ${1:-world}!"
