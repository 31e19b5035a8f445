#!/bin/bash
cp /given copied
