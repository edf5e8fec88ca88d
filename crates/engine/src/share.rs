//! How one of many may use something bounded, so that a bound that is reached is no lock for everybody else.

/// The most that one holder may have of something of which `used` out of `limit` are taken: as much as is still free.
///
/// This is the dynamic threshold of Choudhury and Hahne (1998), known from the buffers of network switches. A holder alone gets half,
/// each of two a third, and so on; who comes anew always finds something, however many there are. Nothing has to be searched or
/// remembered: who holds most is refused first.
pub(crate) fn share(limit: usize, used: usize) -> usize {
    limit.saturating_sub(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets holders take one after the other until all are at their share.
    fn fill(limit: usize, holders: usize) -> Vec<usize> {
        let mut held = vec![0; holders];
        loop {
            let mut took = false;
            for at in 0..holders {
                if held[at] < share(limit, held.iter().sum()) {
                    held[at] += 1;
                    took = true;
                }
            }
            if !took {
                return held;
            }
        }
    }

    #[test]
    fn a_holder_alone_gets_half_and_each_of_several_the_same() {
        assert_eq!(fill(1_000, 1), [500]);
        for holders in [2, 3, 9] {
            let held = fill(1_000, holders);
            let fair = 1_000 / (holders + 1);
            assert!(held.iter().all(|held| held.abs_diff(fair) <= 2), "{held:?}");
        }
    }

    #[test]
    fn who_comes_anew_finds_something_free() {
        let used: usize = fill(1_000, 20).iter().sum();
        assert!(share(1_000, used) > 40, "{used}");
        assert_eq!(share(10, 12), 0);
    }
}
