//! The list is what the harness and the readers of README.md go by.

use std::collections::BTreeSet;
use umlab_workloads::{ALL, Setting, about};

#[test]
fn names_are_unique_and_no_group_is_a_name() {
    let names: Vec<&str> = ALL.iter().map(|workload| workload.about().name).collect();
    let groups: BTreeSet<&str> = ALL.iter().map(|workload| workload.about().group.name()).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    // --workloads takes both; only the kernel build, alone in its group, is meant by either.
    let both: Vec<&&str> = names.iter().filter(|name| groups.contains(**name)).collect();
    assert_eq!(both, [&"kernel-build"]);
}

#[test]
fn every_workload_has_the_sizes_that_profiles_ask_for() {
    for workload in ALL {
        let about = workload.about();
        let names: Vec<&str> = about.sizes.iter().map(|size| size.name).collect();
        let asked_for = names.iter().filter(|name| ["smoke", "quick", "full"].contains(name));
        assert!(asked_for.eq(&["smoke", "quick", "full"]), "{}: {names:?}", about.name);
        assert!(about.sizes.is_sorted_by(|a, b| a.seconds < b.seconds), "{}", about.name);
        assert_eq!(Setting::new(&about, None, 1, &[], &[]).unwrap().size, "quick");
    }
}

#[test]
fn the_table_of_the_readme_is_the_list() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let abouts: Vec<_> = ALL.iter().map(|workload| workload.about()).collect();
    let table = about::table(&abouts);
    assert!(readme.contains(&table), "put this into workloads/README.md (umlab-workload list --markdown):\n{table}");
}
