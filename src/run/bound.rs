//! How many messages may be wrong, if so many of a sample are: the exact upper bound, with 95 % confidence.

/// The bound is passed by chance at most this often.
const RISK: f64 = 0.05;

/// The largest number of defects among `all` with which a random sample of `looked_at` has at most `defects` of them in more
/// than 5 of 100 cases (hypergeometric distribution, one-sided). What was not looked at may all be wrong if nothing was.
pub fn at_most_defects(all: u64, looked_at: u64, defects: u64) -> u64 {
    let looked_at = looked_at.min(all);
    let defects = defects.min(looked_at);
    // That many are certain to be in order, so the others may be wrong.
    let (mut possible, mut impossible) = (defects, all - (looked_at - defects) + 1);
    while impossible - possible > 1 {
        let middle = possible + (impossible - possible) / 2;
        if at_most(all, middle, looked_at, defects) > RISK { possible = middle } else { impossible = middle }
    }
    possible
}

/// The probability that a sample of `looked_at` has at most `defects` of the `wrong` ones among `all`.
fn at_most(all: u64, wrong: u64, looked_at: u64, defects: u64) -> f64 {
    let fewest = looked_at.saturating_sub(all - wrong);
    let probability = |found: u64| {
        (ln_choose(wrong, found) + ln_choose(all - wrong, looked_at - found) - ln_choose(all, looked_at)).exp()
    };
    (fewest..=defects.min(wrong)).map(probability).sum()
}

/// The logarithm of the number of ways to choose `some` of `all`.
#[expect(clippy::cast_precision_loss, reason = "numbers of messages are far below 2^52")]
fn ln_choose(all: u64, some: u64) -> f64 {
    let ln_factorial = |number: u64| libm::lgamma(number as f64 + 1.0);
    ln_factorial(all) - ln_factorial(some) - ln_factorial(all - some)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bound_is_exact() {
        assert_eq!([299, 2_995].map(|looked_at| at_most_defects(400_000, looked_at, 0)), [3_986, 398]);
        assert_eq!(at_most_defects(10, 0, 0), 10);
        assert_eq!(at_most_defects(10, 10, 0), 0);
        assert_eq!(at_most_defects(10, 10, 3), 3);
        assert_eq!(at_most_defects(10, 4, 4), 10);
        assert_eq!(at_most_defects(0, 0, 0), 0);
        // Of 10, 4 were looked at and are in order. With 4 wrong ones that has a probability of 15/210, with 5 of 5/210.
        assert_eq!(at_most_defects(10, 4, 0), 4);
    }

    /// The same by counting, one defect after the other, with probabilities as products.
    fn by_counting(all: u32, looked_at: u32, defects: u32) -> u32 {
        let mut most = defects;
        for wrong in defects..=all - (looked_at - defects) {
            let mut sum = 0.0;
            for found in looked_at.saturating_sub(all - wrong)..=defects.min(wrong) {
                let mut probability = 1.0;
                for drawn in 0..found {
                    let ways = f64::from(wrong - drawn) * f64::from(looked_at - drawn) / f64::from(drawn + 1);
                    probability *= ways / f64::from(all - drawn);
                }
                for drawn in 0..looked_at - found {
                    probability *= f64::from(all - wrong - drawn) / f64::from(all - found - drawn);
                }
                sum += probability;
            }
            if sum > RISK {
                most = wrong;
            }
        }
        most
    }

    proptest! {
        #[test]
        fn it_is_what_counting_gives(all in 1_u32..120, looked_at in 0_u32..120, defects in 0_u32..8) {
            let looked_at = looked_at.min(all);
            let defects = defects.min(looked_at);
            let counted = by_counting(all, looked_at, defects);
            prop_assert_eq!(at_most_defects(all.into(), looked_at.into(), defects.into()), u64::from(counted));
        }
    }
}
