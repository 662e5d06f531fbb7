//! Return addresses of a panic in a release build. `packaging/cross/build` omits source locations,
//! which take 54 KB on ARMv7. The code is at fixed addresses, and `packaging/cross/size --where`
//! maps them to functions.

use std::ffi::{c_int, c_void};
use std::panic::Location;

/// Maximum number of addresses; the first ten are those of the panic machinery.
const MOST: usize = 32;

// Itanium C++ ABI: Exception Handling, level 1; Exception Handling ABI for the Arm Architecture,
// sections 8.5.1, 8.5.4.
unsafe extern "C" {
    fn _Unwind_Backtrace(
        each: unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int,
        found: *mut c_void,
    ) -> c_int;
    #[cfg(not(target_arch = "arm"))]
    fn _Unwind_GetIP(frame: *mut c_void) -> usize;
    #[cfg(target_arch = "arm")]
    fn _Unwind_VRS_Get(
        frame: *mut c_void,
        class: c_int,
        register: u32,
        representation: c_int,
        value: *mut c_void,
    ) -> c_int;
}

/// Returns the return addresses of the current call stack, innermost first, or `None` if the panic
/// has a location.
pub fn instead_of(place: Option<&Location<'_>>) -> Option<Vec<usize>> {
    // rustc replaces omitted paths by this.
    if place.is_some_and(|place| place.file() != "<redacted>") {
        return None;
    }
    let mut found = Vec::with_capacity(MOST);
    // SAFETY: `take` receives the vector, which outlives the call, and doesn't unwind.
    unsafe { _Unwind_Backtrace(take, (&raw mut found).cast()) };
    Some(found)
}

unsafe extern "C" fn take(frame: *mut c_void, found: *mut c_void) -> c_int {
    const GO_ON: c_int = 0;
    const STOP: c_int = 9;
    // SAFETY: the vector of `instead_of`, which isn't used elsewhere during the walk.
    let found = unsafe { &mut *found.cast::<Vec<usize>>() };
    found.push(unsafe { instruction(frame) });
    if found.len() < MOST { GO_ON } else { STOP }
}

#[cfg(not(target_arch = "arm"))]
unsafe fn instruction(frame: *mut c_void) -> usize {
    // SAFETY: the caller got the frame from the walk.
    unsafe { _Unwind_GetIP(frame) }
}

/// `_Unwind_GetIP` is a C macro on ARM.
#[cfg(target_arch = "arm")]
unsafe fn instruction(frame: *mut c_void) -> usize {
    const CORE: c_int = 0;
    const PROGRAM_COUNTER: u32 = 15;
    const UINT32: c_int = 0;
    let mut address = 0_usize;
    // SAFETY: the caller got the frame from the walk; the value has 32 bits.
    unsafe {
        let value = (&raw mut address).cast();
        _Unwind_VRS_Get(frame, CORE, PROGRAM_COUNTER, UINT32, value)
    };
    // The lowest bit marks Thumb code.
    address & !1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_known_needs_no_addresses() {
        assert_eq!(instead_of(Some(Location::caller())), None);
    }

    #[test]
    fn without_a_place_the_calls_are_found_and_bounded() {
        #[inline(never)]
        fn deep(left: u32) -> Vec<usize> {
            let found = match left {
                0 => instead_of(None).expect("addresses"),
                _ => deep(left - 1),
            };
            std::hint::black_box(found)
        }
        let shallow = deep(0);
        assert!(shallow.len() > 2, "{shallow:?}");
        let found = deep(MOST as u32);
        assert_eq!(found.len(), MOST);
        // All but the first addresses are the same: `deep` calls itself.
        assert_eq!(found[MOST - 1], found[MOST - 2]);
    }
}
