#!/bin/bash
id -u > owned/bound
ln -s /etc/motd owned/victim
