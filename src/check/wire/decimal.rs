//! Compares JSON numbers (RFC 8259 section 6) as exact decimals of any size, in time and memory linear in
//! the length of the text. As f64, 9007199254740993 would equal its neighbour.

use std::cmp::Ordering;

/// Compares two numbers in JSON notation.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (Decimal::read(a), Decimal::read(b));
    match (a.sign(), b.sign()) {
        (0, 0) => Ordering::Equal,
        (1, 1) => a.magnitude(&b),
        (-1, -1) => b.magnitude(&a),
        (a, b) => a.cmp(&b),
    }
}

/// The parts of a number, as written.
struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent_negative: bool,
    exponent: &'a [u8],
}

impl<'a> Decimal<'a> {
    fn read(text: &'a str) -> Decimal<'a> {
        let (negative, unsigned) = without_sign(text);
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, ""));
        let (exponent_negative, exponent) = without_sign(exponent);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        Decimal {
            negative,
            whole: whole.as_bytes(),
            fraction: fraction.as_bytes(),
            exponent_negative,
            exponent: exponent.as_bytes(),
        }
    }

    fn digits(&self) -> impl Iterator<Item = u8> + use<'a> {
        self.whole.iter().chain(self.fraction).copied()
    }

    /// Number of leading zeros.
    fn zeros(&self) -> usize {
        self.digits().take_while(|digit| *digit == b'0').count()
    }

    fn sign(&self) -> i8 {
        let is_zero = self.digits().all(|digit| digit == b'0');
        match (is_zero, self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }

    /// Compares two nonzero numbers without their signs.
    fn magnitude(&self, other: &Decimal<'_>) -> Ordering {
        let (own_zeros, other_zeros) = (self.zeros(), other.zeros());
        // Position of the first nonzero digit, before the exponent. Texts are shorter than an i64 counts.
        let place = |whole: usize, zeros: usize| whole as i64 - zeros as i64;
        let own = place(self.whole.len(), own_zeros);
        let theirs = place(other.whole.len(), other_zeros);
        let first = self.exponent_less(other).saturating_add(own - theirs);
        let by_digits = || {
            let mut own = self.digits().skip(own_zeros);
            let mut theirs = other.digits().skip(other_zeros);
            loop {
                match (own.next(), theirs.next()) {
                    (None, None) => return Ordering::Equal,
                    (a, b) => match a.unwrap_or(b'0').cmp(&b.unwrap_or(b'0')) {
                        Ordering::Equal => {}
                        order => return order,
                    },
                }
            }
        };
        first.cmp(&0).then_with(by_digits)
    }

    /// The difference of the exponents; if it overflows, a huge one with the right sign.
    fn exponent_less(&self, other: &Decimal<'_>) -> i64 {
        let length = self.exponent.len().max(other.exponent.len());
        let digit = |number: &Decimal<'_>, at: usize| {
            let missing = length - number.exponent.len();
            let digit = at
                .checked_sub(missing)
                .and_then(|at| number.exponent.get(at));
            let digit = digit.map_or(0, |digit| i64::from(digit & 15));
            if number.exponent_negative {
                -digit
            } else {
                digit
            }
        };
        // Once the difference is 3 or more, it grows with each digit: tenfold is more than two digits can
        // subtract. So a value that saturates stays saturated.
        (0..length).fold(0i64, |less, at| {
            let less = less.saturating_mul(10);
            less.saturating_add(digit(self, at) - digit(other, at))
        })
    }
}

/// Splits off the sign; true if it is a minus.
fn without_sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::thread_cpu;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn numbers_are_compared_as_they_are_written() {
        let long = "9".repeat(400);
        for (a, b, order) in [
            ("9007199254740993", "9007199254740992", Ordering::Greater),
            ("-9007199254740993", "-9007199254740992", Ordering::Less),
            (
                "18446744073709551616",
                "18446744073709551615",
                Ordering::Greater,
            ),
            (&format!("{long}1"), &format!("{long}0"), Ordering::Greater),
            ("0.1", "0.10000000000000000001", Ordering::Less),
            ("0.1", "0.1000", Ordering::Equal),
            ("1.0", "1", Ordering::Equal),
            ("1e2", "100", Ordering::Equal),
            ("1E+2", "0.1e3", Ordering::Equal),
            ("100e-2", "1", Ordering::Equal),
            ("0", "-0", Ordering::Equal),
            ("-0.0e5", "0e-9", Ordering::Equal),
            ("-1", "0", Ordering::Less),
            ("0", "-1e-999999999999", Ordering::Greater),
            ("1e400", "1e399", Ordering::Greater),
            ("1e-400", "0", Ordering::Greater),
            ("-1e400", "-1e399", Ordering::Less),
            ("1e0000000000000000000000000000002", "100", Ordering::Equal),
            (
                "1e1000000000000000000",
                "10e999999999999999999",
                Ordering::Equal,
            ),
            (
                "1e99999999999999999999",
                "1e99999999999999999998",
                Ordering::Greater,
            ),
            (
                "1e99999999999999999999",
                "10e99999999999999999998",
                Ordering::Equal,
            ),
            (
                "1e-99999999999999999999",
                "1e99999999999999999999",
                Ordering::Less,
            ),
            (
                "1e99999999999999999999",
                "1e-99999999999999999999",
                Ordering::Greater,
            ),
        ] {
            assert_eq!(compare(a, b), order, "{a} and {b}");
            assert_eq!(compare(b, a), order.reverse(), "{b} and {a}");
        }
    }

    #[test]
    fn huge_exponents_and_long_texts_cost_next_to_nothing() {
        const LONG: usize = 1 << 20;
        let nines = "9".repeat(LONG);
        let start = thread_cpu();
        assert_eq!(compare("1e1000000000", "1e999999999"), Ordering::Greater);
        assert_eq!(compare(&format!("1e{nines}"), &nines), Ordering::Greater);
        assert_eq!(compare(&format!("1e-{nines}"), "0"), Ordering::Greater);
        assert_eq!(compare(&format!("{nines}e-{LONG}"), "1"), Ordering::Less);
        assert_eq!(compare(&format!("0.{nines}"), "1"), Ordering::Less);
        assert!(thread_cpu() - start < Duration::from_secs(5));
    }

    /// 400 digits before and 400 after the point, enough for the texts below.
    fn model(text: &str) -> (bool, Vec<u8>) {
        const PLACES: usize = 400;
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i64 = exponent.parse().expect("small");
        let negative = mantissa.starts_with('-');
        let mantissa = mantissa.trim_start_matches('-');
        let whole = mantissa.find('.').unwrap_or(mantissa.len()) as i64;
        let mut digits = vec![0; 2 * PLACES];
        for (at, digit) in mantissa.bytes().filter(u8::is_ascii_digit).enumerate() {
            let place = PLACES as i64 - whole - exponent + at as i64;
            digits[usize::try_from(place).expect("fits")] = digit - b'0';
        }
        (negative && digits.iter().any(|digit| *digit != 0), digits)
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_a_slow_model(
            a in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?0{0,3}[0-9]{1,2})?",
            b in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?0{0,3}[0-9]{1,2})?",
        ) {
            let ((a_negative, a_digits), (b_negative, b_digits)) = (model(&a), model(&b));
            let wanted = match (a_negative, b_negative) {
                (false, false) => a_digits.cmp(&b_digits),
                (true, true) => b_digits.cmp(&a_digits),
                (a, b) => b.cmp(&a),
            };
            prop_assert_eq!(compare(&a, &b), wanted);
        }

        #[test]
        fn a_number_written_otherwise_is_the_same(
            digits in "[1-9][0-9]{0,20}", moved in -40i64..40, zeros in 0usize..20, by in -1i64..=1,
        ) {
            let otherwise = match moved {
                0.. => format!("{digits}{}e-{moved}", "0".repeat(moved as usize)),
                _ => format!("0.{}{digits}{}e{}", "0".repeat(-moved as usize), "0".repeat(zeros),
                    digits.len() as i64 - moved),
            };
            prop_assert_eq!(compare(&digits, &otherwise), Ordering::Equal);
            let number: u128 = digits.parse().expect("fits");
            let near = number.saturating_add_signed(by.into()).to_string();
            prop_assert_eq!(compare(&near, &otherwise), by.cmp(&0));
        }
    }
}
