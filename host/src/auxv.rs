//! What the host told this process at its start.

/// An entry of the auxiliary vector as the host gave it, 0 when there is none. (getauxval(3) has
/// ideas of its own about AT_HWCAP.)
pub fn get(key: u64) -> u64 {
    static VECTOR: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let vector = VECTOR.get_or_init(|| std::fs::read("/proc/self/auxv").unwrap_or_default());
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
    vector.chunks_exact(16).find(|pair| word(&pair[..8]) == key).map_or(0, |pair| word(&pair[8..]))
}
