//! Mutations of the core, to verify that the simulation detects each of them
//! (`tests/simulation/mutate`).
//!
//! A mutation point is `mutated!(NAME)` beside the code that it breaks. It is the literal `false`,
//! except in a build with `--cfg sitemon_mutate`, where it is true for the chosen mutation. Release
//! builds contain neither the points nor their names.

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

/// Enables the mutation `name` for the rest of the process. Later calls have no effect.
#[cfg(sitemon_mutate)]
pub fn choose(name: String) {
    CHOSEN.get_or_init(|| name);
}

#[cfg(sitemon_mutate)]
pub(crate) fn chosen(name: &str) -> bool {
    CHOSEN.get().is_some_and(|chosen| chosen == name)
}
