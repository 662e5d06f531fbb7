//! The known name that a mistyped one is nearest to.

/// The one of `known` that `name` is most likely meant to be; capitals, `-` and `_` make no difference.
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let name = plain(&name.chars().take(64).collect::<String>());
    let distances = known
        .into_iter()
        .map(|key| (distance(&name, &plain(key)), key));
    let (slips, best) = distances.min()?;
    let allowed = (best.chars().count() / 3).clamp(1, 3);
    (slips <= allowed).then_some(best)
}

/// How many letters were added, dropped, changed or swapped with the next (optimal string alignment).
pub fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_slips_of_the_finger() {
        for (a, b, slips) in [
            ("interval", "interval", 0),
            ("intervall", "interval", 1),
            ("itnerval", "interval", 1),
            ("", "url", 3),
            ("body-not", "body_not", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), slips, "{a} {b}");
            assert_eq!(distance(b, a), slips, "{b} {a}");
        }
    }

    #[test]
    fn only_what_is_near_is_suggested() {
        assert_eq!(nearest("BLOG-1", ["shop", "Blog_1"]), Some("Blog_1"));
        assert_eq!(nearest("shpo", ["shop", "blog"]), Some("shop"));
        assert_eq!(nearest("wiki", ["shop", "blog"]), None);
        assert_eq!(nearest("x", []), None);
    }
}
