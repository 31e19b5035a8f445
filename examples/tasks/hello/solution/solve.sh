#!/bin/bash
echo 'Hello, Rollcall!' > /app/hello.txt
