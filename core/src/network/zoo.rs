//! Known public models: facts about files that people hold.
