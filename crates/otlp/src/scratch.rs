//! Memory that is kept from one request to the next.
//!
//! Who keeps a list between requests spares an allocation for each of them. One request of a million tiny
//! records makes such a list tens of megabytes large, so what is above a bound is given back after the
//! request.

/// A list keeps at most this much memory between requests.
pub const KEPT_BYTES_MAX: usize = 256 << 10;

/// Empties a list, and gives its memory back but for [`KEPT_BYTES_MAX`].
pub fn reset<T>(scratch: &mut Vec<T>) {
    scratch.clear();
    let kept_len = KEPT_BYTES_MAX / size_of::<T>().max(1);
    if kept_len < scratch.capacity() {
        scratch.shrink_to(kept_len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_list_keeps_its_memory_and_a_large_one_does_not() {
        let mut list = vec![1_u64; 1000];
        let capacity = list.capacity();
        reset(&mut list);
        assert_eq!((list.len(), list.capacity()), (0, capacity));
        let mut list = vec![1_u64; 1_000_000];
        reset(&mut list);
        assert!(list.is_empty() && list.capacity() * 8 <= KEPT_BYTES_MAX, "{}", list.capacity());
        reset(&mut vec![(); 1_000_000]);
    }
}
