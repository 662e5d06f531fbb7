//! Warns of `host:` sites that check what this machine lacks or hides.

use super::Config;
use crate::host::Machine;
use crate::monitor::site::Check;

/// Reads files of the kernel.
pub fn warnings(config: &Config) -> Vec<String> {
    let machine = Machine::this();
    let lacks = config.sites.iter().filter_map(|site| match &site.check {
        Check::Host(check) => Some((&site.name, machine.lacks(check)?)),
        _ => None,
    });
    lacks
        .map(|(name, why)| format!("site `{name}`: {why}; it is not judged until that changes"))
        .collect()
}
