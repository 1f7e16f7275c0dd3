//! Numbers of JSON, compared by value: `30`, `30.0` and `3e1` are one number, whichever of them a tool writes.

use std::borrow::Cow;

/// The most zeros that are written out for an exponent: far more than the number of any message has.
const ZEROS_MAX: usize = 64;

/// The one form that all ways to write a number have in common: two numbers are equal if, and only if, their forms are.
/// An ordinary number, whole or with a fraction that does not end in 0, is its own form. Takes memory for the number's
/// text, whatever its exponent.
///
/// Only an exponent of more than 38 digits, which no program can calculate with, is not added to the digits before it:
/// `10e…8` and `1e…9` then count as different.
pub(super) fn canonical(written: &str) -> Cow<'_, str> {
    if is_ordinary(written) {
        return Cow::Borrowed(written);
    }
    let (sign, number) = written.strip_prefix('-').map_or(("", written), |number| ("-", number));
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Cow::Borrowed("0");
    }
    // The number is 0.{significant} × 10^point. Neither length comes near the limit of its type.
    let shift = i128::try_from(digits.len()).unwrap_or_default() - i128::try_from(fraction.len()).unwrap_or_default();
    let Some(point) = exponent.parse::<i128>().ok().and_then(|exponent| exponent.checked_add(shift)) else {
        let (minus, exponent) = exponent.strip_prefix('-').map_or(("", exponent), |digits| ("-", digits));
        let exponent = exponent.trim_start_matches(['+', '0']);
        return Cow::Owned(format!("{sign}{significant}e{minus}{exponent}+{shift}"));
    };
    let zeros =
        |count: i128| usize::try_from(count).ok().filter(|count| *count <= ZEROS_MAX).map(|count| "0".repeat(count));
    let within = usize::try_from(point).ok().filter(|point| (1..significant.len()).contains(point));
    let length = i128::try_from(significant.len()).unwrap_or_default();
    Cow::Owned(if let Some(at) = within {
        let (whole, fraction) = significant.split_at(at);
        format!("{sign}{whole}.{fraction}")
    } else if let Some(zeros) = zeros(point - length) {
        format!("{sign}{significant}{zeros}")
    } else if point <= 0
        && let Some(zeros) = zeros(-point)
    {
        format!("{sign}0.{zeros}{significant}")
    } else {
        format!("{sign}{significant}e{}", point - length)
    })
}

/// Whether it is written as most programs write numbers, and is its own canonical form.
fn is_ordinary(written: &str) -> bool {
    let is_fraction = written.contains('.');
    written.len() <= ZEROS_MAX
        && written != "-0"
        && !(is_fraction && written.ends_with('0'))
        && !written.contains(['e', 'E'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_has_one_form() {
        for (written, form) in [
            ("30", "30"),
            ("30.0", "30"),
            ("3e1", "30"),
            ("3E+01", "30"),
            ("0.3e2", "30"),
            ("300e-1", "30"),
            ("-0", "0"),
            ("-0.00e5", "0"),
            ("0e99999999999999999999999999999999999999999999", "0"),
            ("116.50", "116.5"),
            ("-1.5e-3", "-0.0015"),
            ("0.10", "0.1"),
            ("18446744073709551617", "18446744073709551617"),
            ("18446744073709551617.000", "18446744073709551617"),
            ("1e64", &format!("1{}", "0".repeat(64))),
            ("10e64", "1e65"),
            (&format!("1{}.0", "0".repeat(65)), "1e65"),
            ("1e-65", &format!("0.{}1", "0".repeat(64))),
            ("1e-66", "1e-66"),
            ("-1.20e999999", "-12e999998"),
            ("120e999997", "12e999998"),
            ("1.0e+00999999999999999999999999999999999999999999", "1e999999999999999999999999999999999999999999+1"),
            ("1e-999999999999999999999999999999999999999999", "1e-999999999999999999999999999999999999999999+1"),
            (
                "170141183460469231731687303715884105727e170141183460469231731687303715884105727",
                "170141183460469231731687303715884105727e170141183460469231731687303715884105727+39",
            ),
        ] {
            assert_eq!(canonical(written), form, "{written}");
        }
    }

    /// A number, by its digits and the place of its point.
    fn any_number() -> impl Strategy<Value = (bool, String, i64)> {
        let exponents = prop_oneof![-80_i64..80, -2_000_000_000_i64..2_000_000_000];
        (any::<bool>(), "[1-9]([0-9]{0,70}[1-9])?", exponents)
    }

    /// Writes 0.{digits} × 10^point with the decimal point after `whole` digits and some zeros more.
    fn write(negative: bool, digits: &str, point: i64, whole: usize, zeros: usize, style: usize) -> String {
        let digits = format!("{digits}{}", "0".repeat(zeros));
        let whole = whole.min(digits.len());
        let (before, after) = digits.split_at(whole);
        let exponent = point - i64::try_from(whole).unwrap();
        let before = if before.is_empty() { "0" } else { before };
        let after = if after.is_empty() { String::new() } else { format!(".{after}") };
        let exponent = match (exponent, style) {
            (0, 0 | 1) => String::new(),
            (exponent, 0) => format!("e{exponent}"),
            (exponent, 1) => format!("E{exponent:+}"),
            (exponent, _) => format!("e{exponent:+07}"),
        };
        format!("{}{before}{after}{exponent}", if negative { "-" } else { "" })
    }

    proptest! {
        #[test]
        fn a_number_is_equal_however_it_is_written(
            (negative, digits, point) in any_number(),
            ways in proptest::collection::vec((0_usize..90, 0_usize..70, 0_usize..3), 2..6),
        ) {
            let texts: Vec<String> = ways.iter()
                .map(|(whole, zeros, style)| write(negative, &digits, point, *whole, *zeros, *style))
                .collect();
            for text in &texts {
                prop_assert!(serde_json::from_str::<serde_json::Number>(text).is_ok(), "{text}");
                prop_assert_eq!(canonical(text), canonical(&texts[0]), "{} and {}", text, &texts[0]);
                let form = canonical(text).into_owned();
                prop_assert_eq!(canonical(&form), form.as_str());
            }
        }

        #[test]
        fn different_numbers_stay_apart(a in any_number(), b in any_number(), near in 0_usize..4, way in (0_usize..90, 0_usize..70, 0_usize..3)) {
            // Half of them differ in one thing only.
            let b = match near {
                0 => (!a.0, a.1.clone(), a.2),
                1 => (a.0, a.1.clone(), a.2 + 1),
                2 => (a.0, format!("{}1", a.1), a.2),
                _ => b,
            };
            prop_assume!(a != b);
            let written = |(negative, digits, point): &(bool, String, i64)| write(*negative, digits, *point, way.0, way.1, way.2);
            let (a, b) = (written(&a), written(&b));
            prop_assert_ne!(canonical(&a), canonical(&b), "{} and {}", a, b);
        }

        #[test]
        fn an_ordinary_number_is_its_own_form(written in "-?(0|[1-9][0-9]{0,60})(\\.[0-9]{0,60}[1-9])?") {
            prop_assume!(written != "-0");
            prop_assert_eq!(canonical(&written), written.as_str());
        }
    }
}
