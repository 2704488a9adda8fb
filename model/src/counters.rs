//! Counters of what a model does.

/// Declares counters by their names. Makes `count(|c| &c.NAME, n)`, which counts `n` more, and
/// `counters()`, which lists all that was counted, for [`crate::ProcessModel::counters`].
#[macro_export]
macro_rules! counters {
    ($($name:ident)*) => {
        /// What is counted, by all CPUs together.
        #[derive(Default)]
        pub struct Counters { $(pub $name: ::std::sync::atomic::AtomicU64,)* }

        static COUNTERS: Counters = Counters { $($name: ::std::sync::atomic::AtomicU64::new(0),)* };

        /// All counts until now, by name.
        pub fn counters() -> Vec<(&'static str, u64)> {
            vec![$((stringify!($name), COUNTERS.$name.load(::std::sync::atomic::Ordering::Relaxed)),)*]
        }

        /// Counts `n` more of what `pick` names.
        pub fn count(pick: impl FnOnce(&Counters) -> &::std::sync::atomic::AtomicU64, n: u64) {
            pick(&COUNTERS).fetch_add(n, ::std::sync::atomic::Ordering::Relaxed);
        }
    };
}
