#!/bin/sh
# The tracers that people know, on a program that acts.
set -u
say() { printf '%s: %s\n' "$1" "$2"; }
strace -f -e trace=openat -o trace.log cat held > strace.out 2>&1
code=$?
say "strace" "$code, $(cat strace.out)"
rm strace.out
say "its log has the act" "$(grep -c '"held"' trace.log)"
say "its log has stops" "$(grep -c 'stopped by SIG' trace.log)"
