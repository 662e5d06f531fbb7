//! Mistakes that can be put into the core, to show that the simulation catches each
//! (`tests/simulation/mutate`).
//!
//! A mutation point is `mutated!(NAME)` beside what it breaks. It is the literal
//! `false`, but in a build with `--cfg sitemon_mutate`: there it is true for the one mistake that
//! was chosen. The product is built without, and so has neither the points nor their names.

#[cfg(not(sitemon_mutate))]
macro_rules! mutated {
    ($name:literal) => {
        false
    };
}

#[cfg(sitemon_mutate)]
macro_rules! mutated {
    ($name:literal) => {
        $crate::mutation::chosen($name)
    };
}

#[cfg(sitemon_mutate)]
static CHOSEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();

/// From here on the core makes this mistake. Only the first call counts.
#[cfg(sitemon_mutate)]
pub fn choose(name: String) {
    CHOSEN.get_or_init(|| name);
}

#[cfg(sitemon_mutate)]
pub(crate) fn chosen(name: &str) -> bool {
    CHOSEN.get().is_some_and(|chosen| chosen == name)
}
