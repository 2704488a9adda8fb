//! Which samples are taken when the time is short.
//!
//! Rounds are worth more than anything else: without several there is no interval. But one model
//! may need ten times as long as another, and then a fixed number of rounds would take all evening.
//! So the first round runs everything; after that the durations are known, and what takes the most
//! time gives up its last rounds first, until the rest fits. The host is run in every round in
//! which anything is compared with it.

/// One runner with one workload and one number of CPUs.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Which comparison it belongs to: items of one cell share the host's sample.
    pub cell: usize,
    pub is_host: bool,
    /// Seconds a sample takes, as far as it is known.
    pub seconds: f64,
    /// How much its rounds are worth beside those of others.
    pub weight: f64,
    /// So many rounds it keeps as long as anything else has some to give: one sample has no
    /// interval.
    pub least: u32,
    /// The last round it is run in.
    pub last_round: u32,
}

/// Takes rounds away until what is still to be done from `round` on fits into the seconds left.
pub fn thin(items: &mut [Item], round: u32, left: f64) {
    let rounds = |item: &Item| f64::from((item.last_round + 1).saturating_sub(round));
    let price = |item: &Item| item.seconds / item.weight;
    loop {
        follow(items);
        let cost: f64 = items.iter().map(|item| item.seconds * rounds(item)).sum();
        if cost <= left {
            return;
        }
        // What has more than its least comes first.
        let rank = |item: &Item| (item.last_round > item.least, price(item) * rounds(item));
        let worst = items
            .iter_mut()
            .filter(|item| !item.is_host && rounds(item) > 0.0)
            .max_by(|a, b| rank(a).0.cmp(&rank(b).0).then(rank(a).1.total_cmp(&rank(b).1)));
        match worst {
            Some(item) => item.last_round -= 1,
            // Nothing but the host is left: workloads that are measured there only.
            None => {
                let Some(item) =
                    items.iter_mut().filter(|item| rounds(item) > 0.0).max_by(|a, b| a.seconds.total_cmp(&b.seconds))
                else {
                    return;
                };
                item.last_round -= 1;
            }
        }
    }
}

/// The host goes on as long as somebody in its cell does.
fn follow(items: &mut [Item]) {
    for at in 0..items.len() {
        if !items[at].is_host {
            continue;
        }
        let others = items.iter().filter(|item| item.cell == items[at].cell && !item.is_host);
        if let Some(last) = others.map(|item| item.last_round).max() {
            items[at].last_round = last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(cell: usize, is_host: bool, seconds: f64) -> Item {
        Item { cell, is_host, seconds, weight: 1.0, least: 0, last_round: 5 }
    }

    #[test]
    fn with_time_enough_nothing_is_taken() {
        let mut items = vec![item(0, true, 10.0), item(0, false, 20.0)];
        thin(&mut items, 2, 120.0);
        assert!(items.iter().all(|item| item.last_round == 5));
    }

    #[test]
    fn the_slow_one_gives_way_and_the_others_keep_their_rounds() {
        let mut items = vec![
            item(0, true, 10.0),
            item(0, false, 15.0),
            item(0, false, 300.0),
            item(1, true, 1.0),
            item(1, false, 2.0),
        ];
        thin(&mut items, 2, 150.0);
        let rounds: Vec<u32> = items.iter().map(|item| item.last_round).collect();
        assert_eq!(rounds, [5, 5, 1, 5, 5]);
    }

    #[test]
    fn the_host_stops_with_the_last_of_its_cell() {
        let mut items = vec![item(0, true, 50.0), item(0, false, 60.0), item(1, true, 1.0), item(1, false, 1.0)];
        thin(&mut items, 2, 20.0);
        assert_eq!(items.iter().map(|item| item.last_round).collect::<Vec<_>>(), [1, 1, 5, 5]);
    }

    #[test]
    fn what_is_worth_more_keeps_more() {
        let heavy = Item { weight: 8.0, ..item(0, false, 30.0) };
        let mut items = vec![item(0, true, 20.0), heavy, item(1, true, 10.0), item(1, false, 10.0)];
        thin(&mut items, 2, 180.0);
        assert!(items[1].last_round > items[3].last_round, "{items:?}");
    }

    #[test]
    fn a_second_round_of_what_the_claims_are_about_comes_before_a_third_of_others() {
        let slow = Item { weight: 8.0, least: 2, ..item(0, false, 170.0) };
        let mut items = vec![item(0, true, 20.0), slow, item(1, true, 10.0), item(1, false, 20.0)];
        thin(&mut items, 2, 250.0);
        assert_eq!(items.iter().map(|item| item.last_round).collect::<Vec<_>>(), [2, 2, 3, 3]);
        thin(&mut items, 2, 100.0);
        assert!(items[1].last_round == 1, "not at any price: {items:?}");
    }

    #[test]
    fn no_time_is_no_rounds() {
        let mut items = vec![item(0, true, 1.0), item(0, false, 1.0), item(1, true, 1.0)];
        thin(&mut items, 2, 0.0);
        assert!(items.iter().all(|item| item.last_round == 1), "{items:?}");
    }
}
