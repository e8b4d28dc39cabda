//! Genotypes by stage: their text and stored forms (facts section 4).
#![allow(missing_docs)]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use cdarts_space::{Genotype, SpaceError, StageGenotypes, published};

fn three() -> Vec<Genotype> {
    ["darts-v1", "darts-v2", "pdarts"].map(|name| published(name).unwrap()).to_vec()
}

#[test]
fn every_form_reads_back() {
    let shared = StageGenotypes::from(published("darts-v1").unwrap());
    let staged = StageGenotypes::new(three()).unwrap();
    for genotypes in [shared, staged] {
        assert_eq!(genotypes.to_string().parse::<StageGenotypes>().unwrap(), genotypes);
        assert_eq!(genotypes.to_json().parse::<StageGenotypes>().unwrap(), genotypes);
        assert_eq!(genotypes.to_published_json(3).parse::<StageGenotypes>().unwrap(), genotypes);
        let stored = serde_json::to_string(&genotypes).unwrap();
        assert_eq!(serde_json::from_str::<StageGenotypes>(&stored).unwrap(), genotypes);
    }
}

#[test]
fn a_shared_genotype_is_stored_and_written_as_it_always_was() {
    let genotype = published("cdarts-cifar").unwrap();
    let shared = StageGenotypes::from(&genotype);
    assert_eq!(shared.to_string(), genotype.to_string());
    assert_eq!(shared.to_json(), genotype.to_json());
    assert_eq!(serde_json::to_value(&shared).unwrap(), serde_json::to_value(&genotype).unwrap());
    assert_eq!(shared.to_published_json(3).matches("Genotype(").count(), 3);
}

#[test]
fn each_stage_has_its_own_and_equal_ones_are_shared() {
    let staged = StageGenotypes::new(three()).unwrap();
    assert_eq!([0, 1, 2].map(|stage| staged.of(stage).clone()).to_vec(), three());
    assert_eq!((staged.shared(), staged.as_slice().len()), (None, 3));
    assert_eq!(staged.skip_count(), three().iter().map(Genotype::skip_count).max().unwrap());
    let equal = StageGenotypes::new(vec![three()[1].clone(); 3]).unwrap();
    assert_eq!(equal.shared(), Some(&three()[1]));
    assert_eq!(equal.of(2), &three()[1]);
}

#[test]
fn a_network_of_other_stages_is_refused() {
    let staged = StageGenotypes::new(three()).unwrap();
    assert_eq!(staged.check_stages(3), Ok(()));
    assert_eq!(staged.check_stages(4), Err(SpaceError::GenotypeCount { expected: 4, found: 3 }));
    assert_eq!(StageGenotypes::from(&three()[0]).check_stages(4), Ok(()));
    assert_eq!(StageGenotypes::new(vec![]), Err(SpaceError::GenotypeCount { expected: 1, found: 0 }));
}

#[test]
fn what_is_wrong_in_a_stage_names_the_stage() {
    let mut stages = three();
    stages[1].normal.nodes[0].clear();
    assert!(matches!(StageGenotypes::new(stages), Err(SpaceError::Stage { stage: 1, .. })));
    assert!(serde_json::from_str::<StageGenotypes>("[]").is_err());
}
