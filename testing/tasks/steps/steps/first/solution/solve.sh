#!/bin/bash
set -e
echo first > /app/first.txt
