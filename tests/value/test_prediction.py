import pytest
import torch

from vssl.value import adam_update, dot, predicted_drop, sgd_update


def test_predicted_drop_of_sgd_is_the_learning_rate_times_the_value():
    torch.manual_seed(0)
    g_down, g_pre = [torch.randn(3)], [torch.randn(3)]
    torch.testing.assert_close(predicted_drop(g_down, sgd_update(g_pre, 0.1)), 0.1 * dot(g_down, g_pre))


def test_predicted_drop_is_the_realised_drop_to_first_order():
    theta, g_pre = torch.tensor([1.0, -2.0], dtype=torch.float64), torch.tensor([0.5, 1.0], dtype=torch.float64)
    loss = lambda t: (t**4).sum()  # noqa: E731
    update = sgd_update([g_pre], 1e-5)
    realised = loss(theta) - loss(theta + update[0])
    torch.testing.assert_close(predicted_drop([4 * theta**3], update), realised, rtol=1e-4, atol=0)


def test_adam_update_is_what_adamw_does():
    torch.manual_seed(0)
    params = {"a": torch.randn(4, 2, requires_grad=True), "b": torch.randn(3, requires_grad=True)}
    groups = [
        {"params": [params["a"]], "weight_decay": 0.1},
        {"params": [params["b"]], "lr": 0.05, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.01, betas=(0.8, 0.95))
    for _ in range(3):
        g_pre = [torch.randn_like(p) for p in params.values()]
        predicted = adam_update(optimizer, params, g_pre)
        before = [p.detach().clone() for p in params.values()]
        for p, g in zip(params.values(), g_pre, strict=True):
            p.grad = g
        optimizer.step()
        for p, b, update in zip(params.values(), before, predicted, strict=True):
            torch.testing.assert_close(update, p.detach() - b, rtol=1e-4, atol=1e-6)


def test_adam_update_refuses_other_optimizers():
    p = torch.ones(1, requires_grad=True)
    with pytest.raises(ValueError, match="not SGD"):
        adam_update(torch.optim.SGD([p], lr=0.1), {"p": p}, [p.detach()])
    with pytest.raises(ValueError, match="without amsgrad"):
        adam_update(torch.optim.AdamW([p], amsgrad=True), {"p": p}, [p.detach()])
