#!/bin/sh
VERSION=1.4.2
[ "$1" = --version ] && echo "greet $VERSION" && exit
echo "Hello, ${1:-world}!"
