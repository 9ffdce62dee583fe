//! The nearest valid name for a misspelt one.

/// Returns the candidate a writer most likely meant, if one is near enough.
///
/// Case and `-` against `_` do not count as differences; apart from them about every fourth
/// character may be wrong, and a name that begins with a candidate, or the other way round, is near.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Comparing is quadratic; nobody misspells a name this long.
    const NAME_LEN_MAX: usize = 64;
    if name.len() > NAME_LEN_MAX {
        return None;
    }
    let name = normal_form(name);
    let tolerance = 1 + name.chars().count() / 4;
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= NAME_LEN_MAX)
        .filter_map(|candidate| {
            let form = normal_form(candidate);
            let distance = strsim::damerau_levenshtein(&name, &form);
            let is_start = (name.len() >= 3 && form.starts_with(&name))
                || (form.len() >= 3 && name.starts_with(&form));
            let is_other_word = distance >= form.chars().count().max(2);
            ((distance <= tolerance && !is_other_word) || is_start).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Lower case, with one kind of separator.
fn normal_form(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_finds_its_name_and_a_different_word_finds_none() {
        let names = ["listen", "patience", "pivot", "max_size", "tls"];
        for (typed, meant) in [
            ("lisen", Some("listen")),
            ("Listen", Some("listen")),
            ("max-size", Some("max_size")),
            ("pivto", Some("pivot")),
            ("pat", Some("patience")),
            ("tls_options", Some("tls")),
            ("ack", None),
            ("endpoint", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, names), meant, "{typed}");
        }
    }
}
