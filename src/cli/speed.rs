//! How fast the demo is played.

use master::PlayOptions;

/// Faster than this, pages change faster than anybody reads.
const FASTEST: f64 = 1000.0;

/// Reads a speed that a recording can be played at.
pub fn speed(text: &str) -> Result<f64, String> {
    let range = PlayOptions::SLOWEST..=FASTEST;
    text.parse().ok().filter(|speed| range.contains(speed)).ok_or_else(|| {
        format!("write a number from {} to {FASTEST}, such as 20", PlayOptions::SLOWEST)
    })
}

#[cfg(test)]
mod tests {
    use super::speed;

    #[test]
    fn a_speed_is_a_number_that_a_recording_can_be_played_at() {
        for (text, number) in [("0.01", 0.01), ("1", 1.0), ("2.5", 2.5), ("1000", 1000.0)] {
            assert_eq!(speed(text), Ok(number));
        }
        let refusal = "write a number from 0.01 to 1000, such as 20".to_owned();
        for text in ["0", "-1", "1e-20", "0.009", "1001", "inf", "NaN", "", "fast"] {
            assert_eq!(speed(text), Err(refusal.clone()), "{text}");
        }
    }
}
