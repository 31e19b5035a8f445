#!/bin/bash
id -u > owned/bound
