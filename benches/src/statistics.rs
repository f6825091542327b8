//! Robust summaries of noisy samples.

/// Returns the smallest sample that at least `percent` of all samples do not exceed; `None` without
/// samples.
pub(crate) fn percentile(samples: &[f64], percent: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// Returns the median of `samples[i] / base[i]`: each sample compared with the base in the same
/// round, so that noise which lasts longer than a round cancels out.
pub(crate) fn median_ratio(samples: &[f64], base: &[f64]) -> Option<f64> {
    let ratios: Vec<f64> = samples
        .iter()
        .zip(base)
        .map(|(sample, base)| sample / base)
        .collect();
    percentile(&ratios, 50.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_samples() {
        let samples = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!(percentile(&samples, 20.0), Some(1.0));
        assert_eq!(percentile(&samples, 21.0), Some(2.0));
        assert_eq!(percentile(&samples, 50.0), Some(3.0));
        assert_eq!(percentile(&samples, 100.0), Some(5.0));
    }

    #[test]
    fn there_is_no_percentile_without_samples() {
        assert_eq!(percentile(&[], 20.0), None);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        assert_eq!(
            median_ratio(&[2.0, 30.0, 6.0], &[1.0, 10.0, 6.0]),
            Some(2.0)
        );
    }
}
