# Prints what failed and passed at the second try: awk -f flaky.awk LOG

# cargo-nextest: FLAKY 2/2 [   0.010s] (12/905) PROGRAM TEST
/^ *FLAKY [0-9]+\/[0-9]+ \[/ {
  sub(/^[^]]*\] */, "")
  sub(/^\([^)]*\) */, "")
  print
}

# pytest -rfR lists what was tried again, and what failed all the same
/^RERUN / { again[$2] }
/^FAILED / { delete again[$2] }
END { for (name in again) print name }

# the others
sub(/^FLAKY: /, "")
