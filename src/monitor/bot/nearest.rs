//! Finds the known name that is most similar to a misspelt one.

use strsim::osa_distance;

/// Returns the most similar of `known`, if it is similar enough. Case, `-` and `_` make no
/// difference.
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let name = plain(&name.chars().take(64).collect::<String>());
    let distances = known
        .into_iter()
        .map(|key| (osa_distance(&name, &plain(key)), key));
    let (slips, best) = distances.min()?;
    let allowed = (best.chars().count() / 3).clamp(1, 3);
    (slips <= allowed).then_some(best)
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
            assert_eq!(osa_distance(a, b), slips, "{a} {b}");
            assert_eq!(osa_distance(b, a), slips, "{b} {a}");
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
