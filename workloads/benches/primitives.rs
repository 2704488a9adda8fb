//! The host's primitives by criterion, which looks closer than the harness does: outliers, the
//! shape of the distribution, and what changed since the last time.
//! `cargo bench -p umlab-workloads`. The operations are those of the workloads.

use criterion::{Criterion, criterion_group, criterion_main};
use umlab_workloads::primitives;

fn all(criterion: &mut Criterion) {
    for primitive in primitives::ALL {
        for (name, batch) in primitive.prepare().expect(primitive.name) {
            let mut batch = match batch {
                Ok(batch) => batch,
                Err(unavailable) => {
                    println!("{name}: {unavailable}");
                    continue;
                }
            };
            criterion.bench_function(&name, |bencher| bencher.iter_custom(|n| batch(n).expect(&name)));
        }
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
