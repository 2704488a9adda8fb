//! The messages of a queue: by age, and by kind.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Positive; the sender's choice.
    pub kind: i64,
    pub bytes: Vec<u8>,
}

/// Which message is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    First,
    /// The first of this kind.
    Kind(i64),
    /// The first of any other kind.
    NotKind(i64),
    /// The first of the lowest kind, which is no higher than this.
    UpTo(i64),
}

impl Which {
    pub fn matches(self, kind: i64) -> bool {
        match self {
            Which::First => true,
            Which::Kind(wanted) => kind == wanted,
            Which::NotKind(unwanted) => kind != unwanted,
            Which::UpTo(highest) => kind <= highest,
        }
    }
}

#[derive(Default)]
pub struct Messages {
    by_kind: BTreeMap<i64, VecDeque<(u64, Vec<u8>)>>,
    /// The age of each kind's first, and the kind.
    heads: BTreeSet<(u64, i64)>,
    next: u64,
    count: u64,
    bytes: u64,
}

impl Messages {
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The lengths of all.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn push(&mut self, message: Message) {
        let age = self.next;
        self.next += 1;
        self.count += 1;
        self.bytes += message.bytes.len() as u64;
        let queue = self.by_kind.entry(message.kind).or_default();
        if queue.is_empty() {
            self.heads.insert((age, message.kind));
        }
        queue.push_back((age, message.bytes));
    }

    /// The kind of the message that is wanted, which is the first of that kind, and its length.
    pub fn find(&self, which: Which) -> Option<(i64, usize)> {
        let kind = match which {
            Which::First => self.heads.first()?.1,
            Which::Kind(kind) => kind,
            Which::NotKind(unwanted) => self.heads.iter().find(|(_, kind)| *kind != unwanted)?.1,
            Which::UpTo(highest) => *self.by_kind.range(..=highest).next()?.0,
        };
        let (_, bytes) = self.by_kind.get(&kind)?.front()?;
        Some((kind, bytes.len()))
    }

    /// Takes the first of a kind out.
    pub fn take(&mut self, kind: i64) -> Option<Message> {
        let queue = self.by_kind.get_mut(&kind)?;
        let (age, bytes) = queue.pop_front()?;
        self.heads.remove(&(age, kind));
        match queue.front() {
            Some(&(age, _)) => drop(self.heads.insert((age, kind))),
            None => drop(self.by_kind.remove(&kind)),
        }
        self.count -= 1;
        self.bytes -= bytes.len() as u64;
        Some(Message { kind, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_by_age_and_by_kind() {
        let mut messages = Messages::default();
        for (kind, text) in [(3, "a"), (5, "bb"), (3, "ccc"), (2, "dddd"), (5, "e")] {
            messages.push(Message { kind, bytes: text.into() });
        }
        assert_eq!((messages.count(), messages.bytes()), (5, 11));
        assert_eq!(messages.find(Which::First), Some((3, 1)));
        assert_eq!(messages.find(Which::NotKind(3)), Some((5, 2)));
        assert_eq!(messages.find(Which::UpTo(4)), Some((2, 4)));
        assert_eq!(messages.find(Which::UpTo(1)), None);
        assert_eq!(messages.find(Which::Kind(4)), None);
        let mut all = Vec::new();
        while let Some((kind, _)) = messages.find(Which::First) {
            all.push(String::from_utf8(messages.take(kind).unwrap().bytes).unwrap());
        }
        assert_eq!(all, ["a", "bb", "ccc", "dddd", "e"]);
        assert_eq!((messages.count(), messages.bytes()), (0, 0));
        assert!(messages.heads.is_empty() && messages.by_kind.is_empty());
    }
}
