//! Shares of a whole, in percent. All views take them from here: they add up to 100 %.

use std::cmp::{Ordering, Reverse};

/// The shares of `parts` in tenths of a percent. They add up to 1,000 if anything is there at all (largest remainder),
/// and what is there is never nothing: its share is at least one tenth.
pub fn tenths(parts: &[u64]) -> Vec<u32> {
    const WHOLE: u128 = 1_000;
    let sum: u128 = parts.iter().map(|part| u128::from(*part)).sum();
    if sum == 0 {
        return vec![0; parts.len()];
    }
    let exact = |part: u64| u128::from(part) * WHOLE;
    let mut shares: Vec<u128> = parts.iter().map(|part| (exact(*part) / sum).max(u128::from(*part > 0))).collect();
    let remainder = |index: usize, shares: &[u128]| exact(parts[index]).saturating_sub(shares[index] * sum);
    loop {
        let given: u128 = shares.iter().sum();
        let all = 0..parts.len();
        match given.cmp(&WHOLE) {
            Ordering::Less => {
                let Some(most) = all.max_by_key(|index| (remainder(*index, &shares), Reverse(*index))) else { break };
                shares[most] += 1;
            }
            // The tenths that small parts were given are taken from the largest one.
            Ordering::Greater => {
                let Some(largest) = all.max_by_key(|index| (shares[*index], Reverse(*index))) else { break };
                shares[largest] -= 1;
            }
            Ordering::Equal => break,
        }
    }
    shares.into_iter().map(|share| u32::try_from(share).unwrap_or_default()).collect()
}

/// A share of [`tenths`] as text, for a part of this size.
pub fn text(part: u64, tenths: u32, sum: u64) -> String {
    match part {
        0 => String::new(),
        part if part == sum => "100 %".to_owned(),
        part if u128::from(part) * 1_000 < u128::from(sum) => "< 0.1 %".to_owned(),
        _ => format!("{}.{} %", tenths / 10, tenths % 10),
    }
}

/// A progress in whole percent, 100 only once it is all.
pub fn percent(part: u64, sum: u64) -> u64 {
    u64::try_from(u128::from(part) * 100 / u128::from(sum.max(1))).map_or(100, |percent| percent.min(100))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn thirds_add_up_and_a_single_edit_is_not_lost() {
        assert_eq!(tenths(&[1, 1, 1]), [334, 333, 333]);
        assert_eq!(tenths(&[399_999, 1, 0]), [999, 1, 0]);
        assert_eq!(text(1, 1, 400_000), "< 0.1 %");
        assert_eq!(text(399_999, 999, 400_000), "99.9 %");
        assert_eq!((text(7, 1_000, 7), text(0, 0, 7)), ("100 %".to_owned(), String::new()));
        assert_eq!((percent(399_999, 400_000), percent(4, 4), percent(0, 0)), (99, 100, 0));
    }

    proptest! {
        #[test]
        fn shares_add_up_and_say_neither_nothing_nor_all_of_what_is_something(
            parts in prop::collection::vec(prop_oneof![Just(0), 1..10_u64, 1..u64::MAX / 8], 1..8)
        ) {
            let shares = tenths(&parts);
            let is_any = parts.iter().any(|part| *part > 0);
            prop_assert_eq!(shares.iter().sum::<u32>(), if is_any { 1_000 } else { 0 });
            for (part, share) in parts.iter().zip(&shares) {
                prop_assert_eq!(*part == 0, *share == 0);
            }
            let sorted = |list: &[(u64, u32)]| list.windows(2).all(|pair| pair[0].1 <= pair[1].1 + 1);
            let mut pairs: Vec<_> = parts.iter().copied().zip(shares).collect();
            pairs.sort_unstable();
            prop_assert!(sorted(&pairs), "{:?}", pairs);
        }
    }
}
