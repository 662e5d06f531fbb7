//! What `host:` sites are to look at and this machine does not have, or hides: a warning for each site.

use super::Config;
use crate::host::Machine;
use crate::monitor::site::Check;

/// Reads the files of the kernel.
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
