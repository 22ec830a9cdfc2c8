"""The command line, a file for each command: `fastmlp demo` trains on real handwritten digits, `fastmlp bench` compares
with other libraries, `fastmlp info` says what is installed here; for files, `fastmlp data` writes a data set of the
package as CSV, `fastmlp split` divides a file into one to train on and one to test with, `fastmlp train` trains a model
and saves it, `fastmlp predict` applies it.

Also as `python -m fastmlp`. Results go to stdout, progress and errors to stderr. Exit codes: 0 done, 1 it could not be
done, 2 wrong arguments, 130 Ctrl-C. Outputs go to the current folder where `--out` names no other. A file that is there
is never overwritten without `--force`, and every file is written whole or not at all.
"""
