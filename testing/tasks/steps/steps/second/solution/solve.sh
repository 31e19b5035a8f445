#!/bin/bash
set -e
echo second > /app/second.txt
