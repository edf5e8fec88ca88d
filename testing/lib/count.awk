# Counts the tests of a section from the closing lines in its log: awk -v status=N -f count.awk LOG -> passed failed skipped
# A section without such a line is one test; one that failed without a failed test has one failed.

function take(passed_now, failed_now, skipped_now) {
  passed += passed_now; failed += failed_now; skipped += skipped_now; counted = 1
}

# cargo test
/^test result: / { take(field("passed"), field("failed"), field("ignored")) }

# cargo-nextest; a flaky test has passed
/^ *Summary \[/ { take(field("passed"), field("failed") + field("timed out") + field("exec failed"), field("skipped")) }

# what failed and was tried again
/^second try: [0-9]+ of [0-9]+ passed$/ { take($3, -$3, 0) }

# node --test, reporter spec
/^ℹ pass [0-9]+$/ { take($3, 0, 0) }
/^ℹ (fail|cancelled) [0-9]+$/ { take(0, $3, 0) }
/^ℹ (skipped|todo) [0-9]+$/ { take(0, 0, $3) }

# pytest
/^[0-9].* in [0-9.]+s/ && /passed|failed|error|skipped/ { take(field("passed"), field("failed") + field("errors?"), field("skipped")) }

# Autobahn: cases with the expected result
/^autobahn, .*: [0-9]+ cases of / { take(field("cases of"), 0, 0) }

# a plain closing line
/^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$/ { take(field("passed"), field("failed"), field("skipped")) }

# The number in front of the word.
function field(word) {
  if (!match($0, "[0-9]+ " word)) return 0
  return substr($0, RSTART, RLENGTH) + 0
}

END {
  if (status == 77 && !counted) skipped = 1
  else if (status == 0 && !counted) passed = 1
  else if (status != 0 && status != 77 && failed == 0) failed = 1
  print passed + 0, failed + 0, skipped + 0
}
