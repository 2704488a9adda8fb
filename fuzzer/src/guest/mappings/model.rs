//! What a thread's pages must hold.

use super::PAGES;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Private,
    Shared,
    PrivateFile,
    SharedFile,
}

#[derive(Clone, Copy)]
pub enum Content {
    /// A value of its own; zero when it was never written.
    Own(u64),
    /// What the file's page holds. Of a private mapping: since so many writes, because it is not
    /// said whether writes to the file show.
    File(u64),
}

#[derive(Clone, Copy)]
pub struct Page {
    pub kind: Kind,
    pub protection: u64,
    pub content: Content,
    /// Which page of the file it shows.
    pub file: usize,
}

/// A page's value names the thread, the page and how many writes there were: every write has a
/// value of its own.
pub struct Model {
    thread: u64,
    writes: u64,
    /// Set in the values of a child.
    child: u64,
    pub pages: [Option<Page>; PAGES],
    file: [FilePage; PAGES],
    size: usize,
}

#[derive(Clone, Copy)]
struct FilePage {
    value: u64,
    /// When it last held zeros.
    zero_until: u64,
}

impl Model {
    pub fn new(thread: usize) -> Model {
        let file = [FilePage { value: 0, zero_until: 0 }; PAGES];
        Model { thread: thread as u64, writes: 1, child: 0, pages: [None; PAGES], file, size: PAGES }
    }

    pub fn map(&mut self, page: usize, kind: Kind, protection: u64) {
        self.writes += 1;
        let content = match kind {
            Kind::Private | Kind::Shared => Content::Own(0),
            Kind::PrivateFile | Kind::SharedFile => Content::File(self.since(page)),
        };
        self.pages[page] = Some(Page { kind, protection, content, file: page });
    }

    /// The write whose value the file's page holds now.
    fn since(&self, file: usize) -> u64 {
        match self.file[file].value {
            0 => self.writes,
            value => count_of(value),
        }
    }

    pub fn is_private(&self, page: usize) -> bool {
        self.pages[page].is_some_and(|page| page.kind == Kind::Private)
    }

    pub fn may_read(&self, page: usize) -> Result<(), i32> {
        self.may(page, 1)
    }

    pub fn may_write(&self, page: usize) -> Result<(), i32> {
        self.may(page, 2)
    }

    fn may(&self, page: usize, right: u64) -> Result<(), i32> {
        match self.pages[page] {
            None => Err(libc::SIGSEGV),
            Some(page) if page.protection & right == 0 => Err(libc::SIGSEGV),
            Some(page) if page.is_file() && page.file >= self.size => Err(libc::SIGBUS),
            Some(_) => Ok(()),
        }
    }

    /// Whether a write there is wrong in two ways, without the right and past the file's end. A
    /// model of which the host does not say whether an access was a write sees the second one only.
    pub fn either(&self, page: usize, found: Option<i32>) -> bool {
        let past = |page: Page| page.is_file() && page.file >= self.size && page.protection & 1 != 0;
        found == Some(libc::SIGBUS) && self.pages[page].is_some_and(past)
    }

    pub fn next_value(&mut self, page: usize) -> u64 {
        self.writes += 1;
        (self.thread + 1) << 56 | (page as u64) << 48 | self.writes << 16 | self.child
    }

    /// From now on values differ from those that the parent writes meanwhile.
    pub fn values_of_child(&mut self) {
        self.child = 1 << 12; // above the numbers of a page's words
    }

    pub fn write(&mut self, page: usize, value: u64) {
        let Some(page) = &mut self.pages[page] else { return };
        match page.kind {
            Kind::SharedFile => {
                let cell = &mut self.file[page.file];
                if cell.value == 0 {
                    cell.zero_until = self.writes;
                }
                cell.value = value;
            }
            _ => page.content = Content::Own(value),
        }
    }

    pub fn forget(&mut self, page: usize) {
        let Some(Page { kind, file, .. }) = self.pages[page] else { return };
        let since = self.since(file);
        let content = match kind {
            Kind::Private => Content::Own(0),
            Kind::PrivateFile => Content::File(since),
            Kind::Shared | Kind::SharedFile => return,
        };
        if let Some(page) = &mut self.pages[page] {
            page.content = content;
        }
    }

    /// The file has so many pages from now on. What was private of those that go, goes too.
    pub fn cut(&mut self, size: usize) {
        self.writes += 1;
        for cell in &mut self.file[size.min(self.size)..] {
            *cell = FilePage { value: 0, zero_until: self.writes };
        }
        let writes = self.writes;
        for page in self.pages.iter_mut().flatten().filter(|page| page.is_file() && page.file >= size) {
            page.content = Content::File(writes);
        }
        self.size = size;
    }

    /// Whether a page may begin with this word; if not, one that it may.
    pub fn judge(&self, page: usize, found: u64) -> Result<(), u64> {
        let Some(page) = self.pages[page] else { return Err(0) };
        if let Some(value) = page.content.certain() {
            return if found == value { Ok(()) } else { Err(value) };
        }
        let Content::File(since) = page.content else { return Err(0) };
        let cell = self.file[page.file];
        if found == cell.value {
            return Ok(());
        }
        let earlier = match found {
            0 => cell.zero_until >= since,
            found => found >> 56 == self.thread + 1 && count_of(found) >= since && self.wrote(found),
        };
        if page.kind == Kind::PrivateFile && earlier { Ok(()) } else { Err(cell.value) }
    }

    fn wrote(&self, value: u64) -> bool {
        count_of(value) <= self.writes
    }
}

fn count_of(value: u64) -> u64 {
    value >> 16 & 0xffff_ffff
}
