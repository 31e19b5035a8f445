#!/bin/bash
id -u > owned/root
