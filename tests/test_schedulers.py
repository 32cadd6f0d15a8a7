"""Scheduler names against diffusers' own objects."""

import diffusers
import pytest
import torch

from sdnb import schedulers

SD = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
}  # fmt: skip
OWN = diffusers.PNDMScheduler(skip_prk_steps=True, steps_offset=1, **SD)
SLOW = [pytest.mark.slow]


@pytest.mark.parametrize("name", schedulers.names())
def test_each_name_makes_its_class_with_the_models_noise_schedule(name):
    made = schedulers.make(name, OWN)
    assert type(made).__name__ == schedulers.SCHEDULERS[name].cls
    assert made.config.beta_end == 0.012
    assert schedulers.name_of(made) == name


def course(name, own=OWN, steps=10):
    """Timesteps and sigmas that the scheduler goes through."""
    made = schedulers.make(name, own)
    made.set_timesteps(steps)
    return made.timesteps.float(), made.sigmas


@pytest.mark.parametrize("plain", ["DPM++ 2M", "DPM++ 2M SDE"])
def test_karras_goes_through_other_sigmas_than_its_plain_sibling(plain):
    _, sigmas = course(plain)
    _, karras = course(f"{plain} Karras")
    assert not torch.allclose(sigmas, karras)
    own = diffusers.DPMSolverMultistepScheduler.from_config(OWN.config, use_karras_sigmas=True)
    own.set_timesteps(10)
    assert torch.equal(karras, own.sigmas)


@pytest.mark.parametrize("name", ["DPM++ 2M SDE", "DPM++ 2M SDE Karras"])
def test_sde_adds_noise_that_its_plain_sibling_does_not(name):
    def step(scheduler_name, seed):
        made = schedulers.make(scheduler_name, OWN)
        made.set_timesteps(10)
        sample = torch.ones(1, 4, 8, 8)
        generator = torch.Generator().manual_seed(seed)
        return made.step(sample, made.timesteps[0], sample, generator=generator).prev_sample

    assert not torch.equal(step(name, 1), step(name, 2))
    plain = name.replace(" SDE", "")
    assert torch.equal(step(plain, 1), step(plain, 2))


@pytest.mark.parametrize("name", ["DPM2", "DPM2 a", "Heun", "LMS", "Euler", "UniPC", "DEIS"])
def test_a_name_made_from_a_karras_config_is_plain_again(name):
    karras = schedulers.make("DPM++ 2M Karras", OWN)
    assert torch.equal(course(name, karras)[1], course(name)[1])


def test_a_model_with_exponential_sigmas_gets_plain_and_karras_ones():
    own = diffusers.DPMSolverMultistepScheduler(use_exponential_sigmas=True, **SD)
    for name in ("DPM++ 2M", "DPM++ 2M Karras", "DEIS", "Euler"):
        assert schedulers.name_of(schedulers.make(name, own)) == name
        assert not schedulers.make(name, own).config.use_exponential_sigmas


def test_ddim_never_clips_latents():
    assert not schedulers.make("DDIM", diffusers.EulerDiscreteScheduler()).config.clip_sample


def test_the_flags_that_are_needed_make_the_same_scheduler():
    for name, known in schedulers.SCHEDULERS.items():
        whole = schedulers.make(name, OWN)
        flags = schedulers.needed_flags(whole, OWN.config)
        made = getattr(diffusers, known.cls).from_config(OWN.config, **flags)
        assert all(made.config[k] == v for k, v in whole.config.items() if k[0] != "_")


@pytest.mark.parametrize(
    "spacing",
    ["default", *(pytest.param(s, marks=SLOW) for s in ("leading", "trailing", "linspace"))],
)
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=SLOW * (n == "LMS")) for n in schedulers.names()]
)
def test_whatever_number_of_steps_is_allowed_runs_to_the_end(name, spacing):
    own = OWN
    if spacing != "default":
        own = diffusers.PNDMScheduler.from_config(OWN.config, timestep_spacing=spacing)
    most = (
        (50,) if name == "LMS" and spacing != "default" else (1000, 999, 998, 50)
    )  # it integrates
    allowed = next(n for n in most if allows(schedulers.make(name, own), n))
    made = schedulers.make(name, own)
    made.set_timesteps(allowed)
    sample = torch.ones(1, 1, 1, 1) * made.init_noise_sigma
    for t in made.timesteps:
        sample = made.step(0.1 * made.scale_model_input(sample, t), t, sample).prev_sample
    assert sample.isfinite().all()


def allows(scheduler, steps):
    try:
        schedulers.check_steps(scheduler, steps)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(("a", "b"), [("Euler", "Euler a"), ("DPM2", "DPM2 a"), ("PNDM", "DDIM")])
def test_names_that_look_alike_step_differently(a, b):
    def two_steps(name):
        made = schedulers.make(name, OWN)
        made.set_timesteps(10)
        sample = torch.ones(1, 4, 8, 8) * made.init_noise_sigma
        for t in made.timesteps[:4]:
            scaled = made.scale_model_input(sample, t)
            sample = made.step(0.1 * scaled, t, sample).prev_sample
        return sample

    assert not torch.allclose(two_steps(a), two_steps(b))


@pytest.mark.parametrize("name", schedulers.names())
@pytest.mark.parametrize("steps", [1, 2, 12, 50])
def test_the_calls_that_are_announced_are_the_timesteps_diffusers_goes_through(name, steps):
    made = schedulers.make(name, OWN)
    made.set_timesteps(steps)
    assert schedulers.calls(name, steps) == len(made.timesteps)


def test_an_unknown_name_lists_the_known_and_the_nearest():
    with pytest.raises(ValueError, match=r"'PMDN': did you mean 'PNDM'\? Known are PNDM, DDIM"):
        schedulers.find("PMDN")
    with pytest.raises(ValueError, match=r"There is no scheduler ''\. Known are"):
        schedulers.find("")


@pytest.mark.parametrize("name", schedulers.names())
def test_names_survive_automatic1111s_spelling(name):
    spelled = schedulers.to_a1111(name)
    assert schedulers.from_a1111(spelled["Sampler"], spelled.get("Schedule type", "")) == name


def test_a_flow_model_s_own_scheduler_is_known_by_the_name_that_forge_and_comfyui_have_for_it():
    own = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    made = schedulers.make("Euler Simple", own)
    assert made is not own
    assert made.config == own.config
    with pytest.raises(ValueError, match="There is no scheduler 'Euler Simple'"):
        schedulers.make("Euler Simple", diffusers.EulerDiscreteScheduler())


def test_a_flow_model_refuses_a_noise_scheduler_in_words():
    own = diffusers.FlowMatchEulerDiscreteScheduler()
    with pytest.raises(ValueError, match="this one is a flow model"):
        schedulers.make("DDIM", own)
