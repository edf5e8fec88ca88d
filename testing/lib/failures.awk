# Prints what the failed tests of a section said, as far as it is not at the log's end anyway: awk -f failures.awk LOG
# cargo goes on after a test binary that failed: what it said is far from the end.

/^failures:$/ { is_inside = 1; lines = 0 }
/^test result: / { is_inside = 0 }
/^---- .* ----$/ { lines = 0 }
is_inside && !/^failures:$/ {
  if (lines < MOST) print
  else if (lines == MOST) print "  (more in the log)"
  lines++
}

BEGIN { MOST = 20 }
