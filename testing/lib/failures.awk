# Prints what failed tests of cargo and cargo-nextest said: awk -f failures.awk LOG
# It is far from the end of the log: cargo goes on after a test binary that failed. Other runners end with what failed.

# Lines of each test.
BEGIN { MOST = 20 }

/^failures:$/ { is_inside = 1; lines = 0 }
/^test result: / { is_inside = 0 }
/^---- .* ----$/ { lines = 0 }
# nextest: the line that names the test comes before what it said
/^ *(TRY [0-9]+ )?(FAIL|TIMEOUT|ABORT|SIG[A-Z]+|LEAK-FAIL) \[/ { is_inside = 1; lines = 0 }
is_inside && !/^failures:$/ {
  if (lines < MOST) print
  else if (lines == MOST) print "  (more in the log)"
  lines++
}
